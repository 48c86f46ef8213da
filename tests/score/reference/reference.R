# Makes reference.json: `Rscript reference.R > reference.json` (made with R 4.2.2, forecast 8.20).
# Every number of the tests that says "R" comes from here; only calls into R and its forecast package.
suppressPackageStartupMessages(library(forecast))

numbers <- function(x) paste0("[", paste(trimws(formatC(as.numeric(x), digits = 17, format = "g")), collapse = ", "), "]")
number <- function(x) formatC(as.numeric(x), digits = 17, format = "g")

dm_case <- function(pair, h, power, alternative, estimator) {
  e1 <- get(paste0(pair, "_1")); e2 <- get(paste0(pair, "_2"))
  note <- ""
  result <- withCallingHandlers(
    dm.test(e1, e2, alternative = alternative, h = h, power = power, varestimator = estimator),
    warning = function(w) { note <<- conditionMessage(w); invokeRestart("muffleWarning") })
  sprintf(paste0('    {"pair": "%s", "horizon": %d, "power": %d, "alternative": "%s", "kernel": "%s",\n',
                 '     "statistic": %s, "p_value": %s, "note": "%s"}'),
          pair, h, power, alternative, estimator, number(result$statistic), number(result$p.value), note)
}

# R's documentation example of dm.test, in sample and out of sample.
f1 <- ets(WWWusage); f2 <- auto.arima(WWWusage)
wwwusage_1 <- as.numeric(residuals(f1)); wwwusage_2 <- as.numeric(residuals(f2))
g1 <- ets(WWWusage[1:80]); g2 <- auto.arima(WWWusage[1:80])
wwwusage_out_1 <- as.numeric(residuals(ets(WWWusage[81:100], model = g1)))
wwwusage_out_2 <- as.numeric(residuals(Arima(WWWusage[81:100], model = g2)))

# Four-step errors of two naive forecasts: overlapping, so autocorrelated.
lynx_1 <- as.numeric(na.omit(tsCV(log(lynx), meanf, h = 4)[, 4]))
lynx_2 <- as.numeric(na.omit(tsCV(log(lynx), naive, h = 4)[, 4]))
lynx_2 <- tail(lynx_2, length(lynx_1)); lynx_1 <- tail(lynx_1, length(lynx_2))

# A loss difference that alternates in sign: the rectangular variance is negative at h = 2.
alternating_1 <- c(2, 1, 2.5, 1, 2, 1.2, 2.2, 1, 2.1, 1, 2.4, 1.1)
alternating_2 <- c(1, 2, 1, 2.1, 1, 2, 1, 2.3, 1, 2, 1, 1.9)

cases <- c(dm_case("wwwusage", 1, 2, "two.sided", "acf"))
for (pair in c("wwwusage", "wwwusage_out", "lynx"))
  for (h in c(1, 4)) for (power in 1:2)
    for (alternative in c("two.sided", "less", "greater")) for (estimator in c("acf", "bartlett"))
      cases <- c(cases, dm_case(pair, h, power, alternative, estimator))
for (estimator in c("acf", "bartlett")) cases <- c(cases, dm_case("alternating", 2, 2, "two.sided", estimator))

# Accuracy of the seasonal naive, the mean and the drift forecast: MAE, RMSE, MASE, bias (= -ME).
accuracy_case <- function(name, series, season, h) {
  train <- head(series, length(series) - h); test <- tail(series, h)
  lines <- c()
  for (method in c("snaive", "meanf", "rwf")) {
    fc <- switch(method, snaive = snaive(train, h = h), meanf = meanf(train, h = h), rwf = rwf(train, h = h, drift = TRUE))
    a <- accuracy(fc, test)["Test set", ]
    lines <- c(lines, sprintf(paste0('    {"series": "%s", "method": "%s", "season": %d,\n     "train": %s,\n     "test": %s,\n',
      '     "forecast": %s,\n     "ME": %s, "RMSE": %s, "MAE": %s, "MASE": %s}'),
      name, method, season, numbers(train), numbers(test), numbers(fc$mean),
      number(a["ME"]), number(a["RMSE"]), number(a["MAE"]), number(a["MASE"])))
  }
  lines
}
accuracies <- c(accuracy_case("UKgas", UKgas, 4, 8), accuracy_case("Nile", Nile, 1, 10))

pair_json <- function(name) sprintf('    "%s": [%s,\n      %s]', name, numbers(get(paste0(name, "_1"))), numbers(get(paste0(name, "_2"))))
cat("{\n")
cat(sprintf('  "made_with": "%s, forecast %s",\n', R.version.string, packageVersion("forecast")))
cat('  "errors": {\n', paste(sapply(c("wwwusage", "wwwusage_out", "lynx", "alternating"), pair_json), collapse = ",\n"), "\n  },\n", sep = "")
cat('  "dm_test": [\n', paste(cases, collapse = ",\n"), "\n  ],\n", sep = "")
cat('  "accuracy": [\n', paste(accuracies, collapse = ",\n"), "\n  ]\n}\n", sep = "")
