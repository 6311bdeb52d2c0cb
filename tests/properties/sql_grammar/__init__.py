"""A grammar of PostgreSQL's reading language over a schema of its own, driven by a tape of choices.

What lives here writes query texts and knows which answers are determined; it opens no connection and asks nothing of
`gateway.sql`. What does not live here: servers, oracles (`tests/live`), and judgements of what may run.
"""
