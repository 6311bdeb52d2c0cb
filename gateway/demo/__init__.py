"""A whole believable company on one machine, to see the gateway work: data, people, tickets, an embedded PostgreSQL, the tour."""
