"""Where rows and vectors are: one module per store, all with the interface of `store.Store`."""
