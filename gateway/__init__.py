"""A privileged data-access gateway: the one road from a member of staff to customers' data."""

__version__ = "0.1.0"
