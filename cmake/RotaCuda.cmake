# Our own programs of .cu files. nvcc is called directly, as the tests do it: nothing here needs
# what CMake's CUDA language would ask of a machine.
find_program(ROTA_NVCC nvcc REQUIRED)
set(ROTA_CUDA_ARCH "sm_80" CACHE STRING "-arch of CUDA examples and benchmarks: sm_90, native, ...")

# rota_cuda_program(TARGET SOURCE PROGRAM [ALL] [FLAG...]): the program is named after its file and
# lies where its source does, below the build folder; PROGRAM becomes its path. With ALL it is part
# of the build, else it is made when the target is asked for.
function(rota_cuda_program target source variable)
  cmake_parse_arguments(PARSE_ARGV 3 given "ALL" "" "")
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(folder ${source} DIRECTORY)
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${folder})
  set(program ${PROJECT_BINARY_DIR}/${folder}/${name})
  add_custom_command(
    OUTPUT ${program}
    COMMAND ${ROTA_NVCC} -std=c++20 -O2 -arch=${ROTA_CUDA_ARCH} --Werror all-warnings
            -ccbin ${CMAKE_CXX_COMPILER} -I ${PROJECT_SOURCE_DIR}/include
            -MD -MT ${program} -MF ${program}.d ${source} -o ${program} ${given_UNPARSED_ARGUMENTS}
    DEPENDS ${source}
    DEPFILE ${program}.d
    COMMENT "nvcc ${folder}/${name}"
    VERBATIM)
  set(all)
  if(given_ALL)
    set(all ALL)
  endif()
  add_custom_target(${target} ${all} DEPENDS ${program})
  set(${variable} ${program} PARENT_SCOPE)
endfunction()
