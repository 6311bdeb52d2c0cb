"""Copies of the trail for others: a process beside the gateway that follows the durable records, turns them into what
collectors understand, and sends them until they are taken. Nothing here can hold up, change or refuse a record.
"""
