# The same two programs for every consumer: one per target of the library.
enable_testing()
add_executable(core_user ${CMAKE_CURRENT_LIST_DIR}/core_user.cpp)
target_link_libraries(core_user PRIVATE rota::rota)
add_executable(cpu_user ${CMAKE_CURRENT_LIST_DIR}/cpu_user.cpp)
target_link_libraries(cpu_user PRIVATE rota::cpu)
add_test(NAME core_user COMMAND core_user)
add_test(NAME cpu_user COMMAND cpu_user)
