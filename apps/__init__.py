"""Commands and the web app. Each command is a module with a ``main(argv)`` of its own, imported when it is called."""
