#pragma once

#include "services/graspd/settings.h"
#include "services/graspd/signals.h"

namespace graspd::daemon {

/// `graspd export`: writes what the store has; also while a daemon has it open. Returns the exit
/// code: 1 with a line on standard error if not everything could be written.
int RunExport(const Invocation& invocation, Signals& signals);

/// `graspd import`: puts the events of files into the store, or through the port of a relay. Tells
/// on standard error: one line for each event that was refused, progress if that is a terminal, a
/// summary. Returns the exit code: 1 if not everything was read and answered or, with --strict, if
/// anything was refused.
int RunImport(const Invocation& invocation, Signals& signals);

}  // namespace graspd::daemon
