"""Ground floor: tables, engine and transactions, time and money types, migrations. Imports no other room."""
