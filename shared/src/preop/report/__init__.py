"""What people look at: charts as Vega-Lite 5 specifications, and pages that stand alone in one file."""
