# Makes reference.json: `Rscript reference.R > reference.json` (made with R 4.2.2, forecast 8.20).
# Every number of test_classics.py that says "R" comes from here; only calls into R and its forecast package.
suppressPackageStartupMessages(library(forecast))

numbers <- function(x) paste0("[", paste(trimws(formatC(as.numeric(x), digits = 17, format = "g")), collapse = ", "), "]")

series <- list(Nile = Nile, lynx = log(lynx), WWWusage = WWWusage, UKgas = log(UKgas))
cases <- c()
case <- function(name, method, forecast, ...) {
  extra <- list(...)
  parts <- sapply(names(extra), function(key) sprintf(', "%s": %s', key, numbers(extra[[key]])))
  cases <<- c(cases, sprintf('    {"series": "%s", "method": "%s",\n     "forecast": %s%s}',
                             name, method, numbers(forecast), paste(parts, collapse = "")))
}

# Least squares with an intercept, orders fixed.
ols <- function(name, order) {
  fit <- ar.ols(series[[name]], aic = FALSE, order.max = order, demean = FALSE, intercept = TRUE)
  case(name, paste0("ar.ols ", order), predict(fit, n.ahead = 8)$pred, slopes = fit$ar, intercept = fit$x.intercept)
}
ols("lynx", 2); ols("Nile", 1); ols("WWWusage", 3)

# Exact maximum likelihood.
ml <- function(name, order, seasonal = c(0, 0, 0), constant = TRUE) {
  fit <- Arima(series[[name]], order = order, seasonal = seasonal, include.constant = constant, method = "ML",
               optim.control = list(reltol = 1e-14, maxit = 2000))
  label <- paste("Arima", paste(order, collapse = ""), paste(seasonal, collapse = ""))
  case(name, label, forecast(fit, h = 8)$mean, coefficients = coef(fit), loglik = fit$loglik)
}
ml("Nile", c(1, 0, 1)); ml("lynx", c(2, 0, 0)); ml("WWWusage", c(1, 1, 1), constant = FALSE)
ml("UKgas", c(0, 1, 1), c(0, 1, 1), constant = FALSE)

# Exponential smoothing by maximum likelihood; here the starting states are estimated too.
smooth <- function(name, model, damped = FALSE) {
  fit <- ets(series[[name]], model = model, damped = damped, opt.crit = "lik")
  case(name, paste0("ets ", model, if (damped) "d" else ""), forecast(fit, h = 8)$mean,
       alpha = fit$par["alpha"], initial = fit$initstate, loglik = fit$loglik)
}
smooth("Nile", "ANN"); smooth("WWWusage", "AAN", TRUE); smooth("UKgas", "AAA")

# The theta method.
for (name in c("Nile", "lynx", "UKgas")) case(name, "thetaf", thetaf(series[[name]], h = 8)$mean)

cat("{\n")
cat(sprintf('  "made_with": "%s, forecast %s",\n', R.version.string, packageVersion("forecast")))
cat('  "series": {\n', paste(sapply(names(series), function(name)
  sprintf('    "%s": %s', name, numbers(series[[name]]))), collapse = ",\n"), "\n  },\n", sep = "")
cat('  "cases": [\n', paste(cases, collapse = ",\n"), "\n  ]\n}\n", sep = "")
