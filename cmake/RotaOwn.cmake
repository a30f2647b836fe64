# What holds for our own tests, examples and benchmarks, and is never exported to users.

# One -march for every object of a binary: Eigen's own symbols clash otherwise.
if(PROJECT_IS_TOP_LEVEL)
  set(ROTA_MARCH "native" CACHE STRING "-march of tests, examples and benchmarks; empty: the compiler's own")
else()
  set(ROTA_MARCH "" CACHE STRING "-march of tests, examples and benchmarks; empty: the compiler's own")
endif()

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(ROTA_CCACHE ccache)
  mark_as_advanced(ROTA_CCACHE)
  if(ROTA_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${ROTA_CCACHE})
  endif()
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND NOT CMAKE_CXX_FLAGS)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library(rota_warnings INTERFACE)
target_compile_options(rota_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                               -Wno-sign-conversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 guesses these wrong in its own intrinsics and in inlined standard and Eigen code.
  target_compile_options(rota_warnings INTERFACE -Wno-maybe-uninitialized -Wno-error=array-bounds
                                                 -Wno-error=stringop-overflow -Wno-restrict)
endif()
add_library(rota::warnings ALIAS rota_warnings)

add_library(rota_own INTERFACE)
target_compile_features(rota_own INTERFACE cxx_std_20)
target_link_libraries(rota_own INTERFACE rota_warnings)
target_compile_options(rota_own INTERFACE $<$<BOOL:${ROTA_MARCH}>:-march=${ROTA_MARCH}>)
add_library(rota::own ALIAS rota_own)

add_library(rota_source_dir STATIC ${CMAKE_CURRENT_LIST_DIR}/source_dir.cpp)
target_compile_definitions(rota_source_dir PRIVATE ROTA_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_include_directories(rota_source_dir PUBLIC ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(rota_own INTERFACE rota_source_dir)

# Names a program after its file and puts it where its source lies: examples/lm/evaluate.cpp
# becomes <build>/examples/lm/evaluate.
function(rota_program source)
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(folder ${source} DIRECTORY)
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${folder})
  string(MAKE_C_IDENTIFIER "${folder}/${name}" target)
  add_executable(${target} ${source})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name}
                        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
  target_link_libraries(${target} PRIVATE rota::own rota::cpu ${ARGN})
endfunction()
