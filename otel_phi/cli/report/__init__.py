"""What commands report: totals, tables, progress, outcomes and troubles, in words and as JSON."""
