# Writes base/build_info.cc with the project's version and the git commit. Only that file (and what links it)
# is built again when they change.
include_guard(GLOBAL)
set(GRASPD_COMMIT_OVERRIDE "" CACHE STRING "Commit to report where the sources have no .git (container builds)")

set(GRASPD_COMMIT "${GRASPD_COMMIT_OVERRIDE}")
if(NOT GRASPD_COMMIT AND EXISTS ${PROJECT_SOURCE_DIR}/.git)
  execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=*
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    OUTPUT_VARIABLE GRASPD_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT GRASPD_COMMIT)
  set(GRASPD_COMMIT unknown)
endif()
configure_file(${PROJECT_SOURCE_DIR}/base/build_info.cc.in ${PROJECT_BINARY_DIR}/generated/base/build_info.cc @ONLY)
