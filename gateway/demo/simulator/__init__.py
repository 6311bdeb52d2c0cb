"""A sub-processor of the payroll company's: somebody else's service, which gets no more than the gateway lets leave."""
