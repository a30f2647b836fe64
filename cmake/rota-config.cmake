# find_package(rota)                   rota::rota, rota::cpu where threads are found, and rota::train
#                                      where Eigen is, too
# find_package(rota COMPONENTS cpu)    the same, and not found without rota::cpu; so with train
include(${CMAKE_CURRENT_LIST_DIR}/rota-targets.cmake)

set(rota_cpu_FOUND FALSE)
if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/rota-cpu-targets.cmake)
  find_package(Threads QUIET)
  if(TARGET Threads::Threads)
    include(${CMAKE_CURRENT_LIST_DIR}/rota-cpu-targets.cmake)
    set(rota_cpu_FOUND TRUE)
  endif()
endif()

set(rota_train_FOUND FALSE)
if(rota_cpu_FOUND AND EXISTS ${CMAKE_CURRENT_LIST_DIR}/rota-train-targets.cmake)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 3.3 QUIET NO_MODULE)
  endif()
  if(TARGET Eigen3::Eigen)
    include(${CMAKE_CURRENT_LIST_DIR}/rota-train-targets.cmake)
    set(rota_train_FOUND TRUE)
  endif()
endif()

foreach(component IN LISTS rota_FIND_COMPONENTS)
  if(rota_FIND_REQUIRED_${component} AND NOT rota_${component}_FOUND)
    set(rota_FOUND FALSE)
    set(rota_NOT_FOUND_MESSAGE "rota: component ${component} is not available (cpu needs Threads, train needs Eigen3 too)")
  endif()
endforeach()
