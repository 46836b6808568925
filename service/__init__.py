"""Top floor: settings, the web application, the worker, the command line, the demo. Imported by nobody."""
