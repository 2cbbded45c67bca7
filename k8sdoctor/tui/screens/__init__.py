"""The dialogs of the terminal app, one a file. Each is given what it shows and hands back what was chosen."""
