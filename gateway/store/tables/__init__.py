"""The tables by subject; `gateway.store.schema` gathers them."""
