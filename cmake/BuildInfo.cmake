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
# The log of HEAD grows with each commit and checkout, wherever git keeps it (in a worktree elsewhere): the next
# build configures again. Where there is none, HEAD itself tells of checkouts at least.
if(GRASPD_COMMIT AND NOT GRASPD_COMMIT_OVERRIDE)
  foreach(file IN ITEMS logs/HEAD HEAD)
    execute_process(COMMAND git rev-parse --git-path ${file}
      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
      OUTPUT_VARIABLE path OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    get_filename_component(path "${path}" ABSOLUTE BASE_DIR ${PROJECT_SOURCE_DIR})
    if(EXISTS ${path})
      set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
      break()
    endif()
  endforeach()
endif()
if(NOT GRASPD_COMMIT)
  set(GRASPD_COMMIT unknown)
endif()
configure_file(${PROJECT_SOURCE_DIR}/base/build_info.cc.in ${PROJECT_BINARY_DIR}/generated/base/build_info.cc @ONLY)
