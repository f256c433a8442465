"""What every implementation must satisfy: the rule, a reference of it, test scenes, types and checks of arguments."""
