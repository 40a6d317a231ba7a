"""Reports: any number of runs beside published figures, with averages, differences, noise, cost and pictures."""
