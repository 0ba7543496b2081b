"""Written for contracts that this core has not heard of."""
