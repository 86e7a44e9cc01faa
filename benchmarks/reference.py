"""Makes the figures of R that ours are compared with: ``python benchmarks/reference.py`` (needs R with the packages named below).

Writes ``tests/statistics/reference.json``: versions, and for each figure the call in R that gave it and its numbers. The data
are those that scikit-learn, statsmodels and lifelines bring, handed to R as vectors; the test loads them again
(``tests/statistics/data_sets.py``), so that no data are kept here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.statistics.data_sets import data_sets  # noqa: E402

TARGET = ROOT / "tests" / "statistics" / "reference.json"
PACKAGES = ("pROC", "survival", "vcd", "psych", "brglm2")

# By data set (tests/statistics/data_sets.py): what is computed, as R says it.
CALLS: dict[str, dict[str, str]] = {
    "cancer": {
        "auc": "c(auc(roc(malignant, texture, direction = '<')))",
        "delong variance": "var(roc(malignant, texture, direction = '<'))",
        "delong paired p": "roc.test(roc(malignant, texture, direction = '<'), roc(malignant, smoothness, direction = '<'), "
        "method = 'delong')$p.value",
        "delong paired difference": "auc(roc(malignant, texture, direction = '<')) - "
        "auc(roc(malignant, smoothness, direction = '<'))",
        "mann-whitney p": "wilcox.test(texture ~ malignant, exact = FALSE)$p.value",
        "youden sensitivity and specificity": "unlist(coords(roc(malignant, texture, direction = '<'), 'best', "
        "ret = c('sensitivity', 'specificity')))",
        "wilson of sensitivity": "prop.test(sum(malignant & texture >= 20), sum(malignant), correct = FALSE)$conf.int",
        "logistic odds ratios": "exp(coef(glm(malignant ~ texture + I(100 * smoothness), family = binomial, "
        "control = list(epsilon = 1e-14))))[-1]",
        "logistic intercept": "coef(glm(malignant ~ texture + smoothness, family = binomial, "
        "control = list(epsilon = 1e-14)))[1]",
        "likelihood ratio p of smoothness": "anova(glm(malignant ~ texture, family = binomial), "
        "glm(malignant ~ texture + smoothness, family = binomial), test = 'LRT')[2, 'Pr(>Chi)']",
        "calibration slope of smoothness": "coef(glm(malignant ~ qlogis(5 * smoothness), family = binomial, "
        "control = list(epsilon = 1e-14)))[2]",
        "calibration in the large of smoothness": "coef(glm(malignant ~ offset(qlogis(5 * smoothness)), family = binomial, "
        "control = list(epsilon = 1e-14)))[1]",
        "brier score of smoothness": "mean((5 * smoothness - malignant)^2)",
    },
    "spector": {
        "auc": "c(auc(roc(grade, gpa, direction = '<')))",
        "fisher p of method": "fisher.test(table(method, grade))$p.value",
        "fisher p of score in thirds": "fisher.test(table(cut(score, c(0, 20, 24, 30)), grade))$p.value",
        "mann-whitney p": "wilcox.test(gpa ~ grade, exact = FALSE)$p.value",
        # confint() interpolates: the ends are where the deviance rises by the quantile of chi-square.
        "profile interval of gpa": "exp(sapply(list(c(0, 2), c(3, 9)), function(within) uniroot(function(slope) "
        "deviance(glm(grade ~ offset(slope * gpa), family = binomial)) - deviance(glm(grade ~ gpa, family = binomial)) - "
        "qchisq(0.95, 1), within, tol = 1e-12)$root))",
    },
    "separated": {  # brglm2's bias reduction of the mean is Firth's in a logistic regression (Kosmidis 2021)
        "firth odds ratios": "exp(coef(glm(outcome ~ marker + age, family = binomial, method = 'brglmFit', "
        "type = 'AS_mean', epsilon = 1e-13, maxit = 10000)))[-1]",
        "firth intercept": "coef(glm(outcome ~ marker + age, family = binomial, method = 'brglmFit', "
        "type = 'AS_mean', epsilon = 1e-13, maxit = 10000))[1]",
    },
    "lung": {
        "kaplan-meier at 180 and 365 days": "summary(survfit(Surv(days, died) ~ 1, conf.type = 'log-log'), "
        "times = c(180, 365))$surv",
        "kaplan-meier lower": "summary(survfit(Surv(days, died) ~ 1, conf.type = 'log-log'), times = c(180, 365))$lower",
        "kaplan-meier upper": "summary(survfit(Surv(days, died) ~ 1, conf.type = 'log-log'), times = c(180, 365))$upper",
        "log-rank p of sex": "survdiff(Surv(days, died) ~ sex)$pvalue",
        "concordance of age": "concordance(Surv(days, died) ~ age, reverse = TRUE)$concordance",
        "concordance variance of age": "concordance(Surv(days, died) ~ age, reverse = TRUE)$var",
        "concordance difference of age and physician": "c(coef(concordance(coxph(Surv(days, died) ~ age), "
        "coxph(Surv(days, died) ~ I(-physician)))) %*% c(1, -1))",
        "concordance difference variance": "c(c(1, -1) %*% vcov(concordance(coxph(Surv(days, died) ~ age), "
        "coxph(Surv(days, died) ~ I(-physician)))) %*% c(1, -1))",
        "kappa of physician and patient": "Kappa(table(factor(physician, 30:100), factor(patient, 30:100)))$Unweighted[1]",
        "chi-square p of sex": "chisq.test(table(sex, died), correct = FALSE)$p.value",
    },
    "stages": {
        "kappa": "cohen.kappa(cbind(first, second))$kappa",
        "quadratic weighted kappa": "cohen.kappa(cbind(first, second))$weighted.kappa",
        # Obuchowski's measure with 0 or 1 for a pair in the right order: of all pairs of cases with different stages, and as she
        # writes it, from the AUC of each pair of stages, weighed by its pairs of cases.
        "ordinal auc": "concordance(first ~ second)$concordance",
        "ordinal auc from the auc of each pair of stages": "{pairs <- combn(sort(unique(first)), 2); "
        "areas <- apply(pairs, 2, function(p) c(auc(roc(first[first %in% p], second[first %in% p], direction = '<', "
        "levels = p)))); sizes <- apply(pairs, 2, function(p) sum(first == p[1]) * sum(first == p[2])); "
        "sum(sizes * areas) / sum(sizes)}",
    },
    "iris": {
        "icc(2,1) of length and width": "ICC(cbind(sepal_length, sepal_width, petal_length), lmer = FALSE)$results[2, 'ICC']",
        "chi-square p": "chisq.test(table(species, sepal_length > 5.8), correct = FALSE)$p.value",
    },
    "p values": {
        "holm": "p.adjust(values, 'holm')",
        "benjamini-hochberg": "p.adjust(values, 'BH')",
    },
}


def r_vector(values: np.ndarray) -> str:
    """Write a column for R."""
    if values.dtype.kind in "US":
        return "c(" + ", ".join(json.dumps(str(value)) for value in values) + ")"
    return "c(" + ", ".join(repr(float(value)) for value in values) + ")"


def program() -> str:
    """Everything in one run of R: a line of JSON for each figure."""
    lines = [f"suppressMessages(suppressWarnings(library({package})))" for package in PACKAGES]
    lines += [
        'say <- function(data, name, numbers) cat(sprintf(\'{"data": "%s", "name": "%s", "values": [%s]}\\n\', data, '
        "name, paste(sprintf('%.17g', as.numeric(numbers)), collapse = ', ')))",
        'say_version <- function(name, version) cat(sprintf(\'{"package": "%s", "version": "%s"}\\n\', name, version))',
        "say_version('R', paste(R.version$major, R.version$minor, sep = '.'))",
        *(f"say_version('{package}', as.character(packageVersion('{package}')))" for package in PACKAGES),
    ]
    for data, calls in CALLS.items():
        columns = ", ".join(f"{name} = {r_vector(values)}" for name, values in data_sets()[data].items())
        lines.append(f"d <- list({columns})")
        lines += [f'say("{data}", "{name}", suppressMessages(with(d, {call})))' for name, call in calls.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run R and write the figures."""
    if shutil.which("Rscript") is None:
        sys.exit(f"Rscript was not found; install R with {', '.join(PACKAGES)} (Debian: r-base-core, r-cran-...).")
    done = subprocess.run(["Rscript", "--vanilla", "-"], input=program(), text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"R stopped: {done.stderr}")
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    content = {
        "made_by": "python benchmarks/reference.py",
        "versions": {line["package"]: line["version"] for line in said if "package" in line},
        "figures": [{**line, "call": CALLS[line["data"]][line["name"]]} for line in said if "data" in line],
    }
    TARGET.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{len(content['figures'])} figures are in {TARGET.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
