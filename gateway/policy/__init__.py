"""Who may ask and what they see, as data: pure functions over a loaded policy. No I/O beyond reading a policy file."""
