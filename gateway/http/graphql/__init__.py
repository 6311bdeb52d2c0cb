"""GraphQL behind HTTP targets: what of an operation may go on, written anew, and what of its answer leaves."""
