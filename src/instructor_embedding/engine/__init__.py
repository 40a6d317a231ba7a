"""Many texts: plan, run, put back in order, in bounded memory."""
