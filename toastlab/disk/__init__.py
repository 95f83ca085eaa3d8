"""Files that stay whole: durable writing, locks over processes, tables."""
