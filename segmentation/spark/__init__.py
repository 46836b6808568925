"""The same models on a Spark cluster, for orders that outgrow one machine. Needs the optional extra `spark`."""
