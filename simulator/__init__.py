"""A LINE platform look-alike over HTTP, with a population living in it. Imports no other room."""
