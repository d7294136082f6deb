"""What every room may use: rows, choices by name, keys, backend. It knows no other room."""
