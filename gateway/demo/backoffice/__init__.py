"""The payroll company's back office: an API over the demonstration's database, which only the gateway may call."""
