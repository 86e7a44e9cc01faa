"""The page of an evaluation, and its charts in the form in which the platform shows them."""

from preop.report.evaluation.charts import CHARTS, GROUPS, charts_of, empty_chart
from preop.report.evaluation.page import evaluation_page

__all__ = ["CHARTS", "GROUPS", "charts_of", "empty_chart", "evaluation_page"]
