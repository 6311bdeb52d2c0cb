"""A believable company on one machine, to see the gateway work: data, people, tickets, PostgreSQL, the tour."""
