"""Pages of one file that need no network: their layout, style and script, tables that sort, and maps with values."""
