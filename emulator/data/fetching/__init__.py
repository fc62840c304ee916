"""What the catalog names, brought from where it is offered: whole and verified."""
