// Two macros for passing errors up, the only ones of their kind here (reason: Debian's abseil ships
// none). For coroutines use an explicit `if (!x.ok()) co_return ...`.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define GRASPD_CONCAT_INNER(a, b) a##b
#define GRASPD_CONCAT(a, b) GRASPD_CONCAT_INNER(a, b)

/// Returns from the enclosing function with the status of `expr` if it is not OK.
#define GRASPD_RETURN_IF_ERROR(expr)                                \
  do {                                                              \
    if (absl::Status graspd_status = (expr); !graspd_status.ok()) { \
      return graspd_status;                                         \
    }                                                               \
  } while (false)

/// `GRASPD_ASSIGN_OR_RETURN(auto x, F())`: returns F's status if not OK, else x = its value.
#define GRASPD_ASSIGN_OR_RETURN(lhs, expr) \
  GRASPD_ASSIGN_OR_RETURN_IMPL(GRASPD_CONCAT(graspd_statusor_, __LINE__), lhs, expr)
#define GRASPD_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) return tmp.status();                \
  lhs = std::move(tmp).value()
