"""Work in a process of its own, which a stop ends and which ends with this one."""
