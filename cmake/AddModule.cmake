# Modules and their layers.
#
#   add_module(NAME storage LAYER 2 HDRS a.h SRCS a.cc PRIVATE_HDRS b.h
#              DEPS base nostr PRIVATE_DEPS ... EXTERNAL absl::status)
#
# A module is a static library of one layer (docs/architecture.md, section 2). Its public headers are
# staged as symlinks below build/inc/<module>; nobody sees a header of a module that it does not
# name in DEPS, and a dependency on the same or a higher layer fails at configure time.
# The target `check_headers` compiles every public header alone.
include_guard(GLOBAL)

# g++ 12 sees overlaps (-Wrestrict) in std::string that are not there.
set(GRASPD_WARNINGS -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> -Werror)

function(stage_headers root)
  file(REMOVE_RECURSE ${root})
  foreach(header IN LISTS ARGN)
    file(RELATIVE_PATH rel ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${header})
    get_filename_component(dir ${root}/${rel} DIRECTORY)
    file(MAKE_DIRECTORY ${dir})
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${header} ${root}/${rel} SYMBOLIC)
  endforeach()
endfunction()

function(add_module)
  cmake_parse_arguments(M "" "NAME;LAYER" "HDRS;PRIVATE_HDRS;SRCS;DEPS;PRIVATE_DEPS;EXTERNAL;PRIVATE_EXTERNAL" ${ARGN})
  set(public ${PROJECT_BINARY_DIR}/inc/${M_NAME})
  set(private ${PROJECT_BINARY_DIR}/inc_private/${M_NAME})
  stage_headers(${public} ${M_HDRS})
  stage_headers(${private} ${M_PRIVATE_HDRS})

  add_library(${M_NAME} STATIC ${M_SRCS})
  target_include_directories(${M_NAME} PUBLIC ${public} PRIVATE ${private})
  target_compile_options(${M_NAME} PRIVATE ${GRASPD_WARNINGS})
  set_target_properties(${M_NAME} PROPERTIES MODULE_LAYER ${M_LAYER})
  foreach(dep IN LISTS M_DEPS M_PRIVATE_DEPS)
    if(NOT TARGET ${dep})
      message(FATAL_ERROR "${M_NAME}: unknown module '${dep}' (declared later, or a cycle)")
    endif()
    get_target_property(dep_layer ${dep} MODULE_LAYER)
    if(NOT dep_layer LESS M_LAYER)
      message(FATAL_ERROR "layering: ${M_NAME} (layer ${M_LAYER}) may not depend on ${dep} (layer ${dep_layer})")
    endif()
  endforeach()
  target_link_libraries(${M_NAME} PUBLIC ${M_DEPS} ${M_EXTERNAL} PRIVATE ${M_PRIVATE_DEPS} ${M_PRIVATE_EXTERNAL})

  set(probes)
  foreach(header IN LISTS M_HDRS)
    file(RELATIVE_PATH rel ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${header})
    set(probe ${PROJECT_BINARY_DIR}/header_probe/${rel}.cc)
    file(CONFIGURE OUTPUT ${probe} CONTENT "#include \"${rel}\"\n" @ONLY)
    list(APPEND probes ${probe})
  endforeach()
  if(probes)
    add_library(check_headers_${M_NAME} OBJECT EXCLUDE_FROM_ALL ${probes})
    target_link_libraries(check_headers_${M_NAME} PRIVATE ${M_NAME})
    if(NOT TARGET check_headers)
      add_custom_target(check_headers)
    endif()
    add_dependencies(check_headers check_headers_${M_NAME})
  endif()
endfunction()

set(GRASPD_TEST_TIMEOUT 120 CACHE STRING "Seconds after which a test has failed; sanitizers need more")

# add_unit_test(NAME nostr_test SRCS a_test.cc b_test.cc DEPS nostr [PRIVATE_HEADERS_OF nostr] [SLOW])
#
# A test binary, usually one a module, which keeps linking short; ctest runs and names each of its tests on
# its own. Tests see the private headers of the modules named. SLOW keeps them out of `make check`. The
# tests' own code is not optimised even in a release build: compiling it costs more than running it.
function(add_unit_test)
  cmake_parse_arguments(T "SLOW" "NAME" "SRCS;DEPS;PRIVATE_HEADERS_OF" ${ARGN})
  if(NOT GRASPD_TESTS)
    return()
  endif()
  add_executable(${T_NAME} ${T_SRCS})
  target_compile_options(${T_NAME} PRIVATE ${GRASPD_WARNINGS} $<$<CONFIG:Release>:-O0>)
  target_link_libraries(${T_NAME} PRIVATE ${T_DEPS} GTest::gmock GTest::gtest_main)
  foreach(module IN LISTS T_PRIVATE_HEADERS_OF)
    target_include_directories(${T_NAME} PRIVATE ${PROJECT_BINARY_DIR}/inc_private/${module})
  endforeach()
  set(label fast)
  if(T_SLOW)
    set(label slow)
  endif()
  include(GoogleTest)
  gtest_discover_tests(${T_NAME} DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS ${label} TIMEOUT ${GRASPD_TEST_TIMEOUT}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()
