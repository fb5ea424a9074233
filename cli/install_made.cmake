# What is made when cmake --install runs; cli/install.cmake sets CV_SOURCE and
# CV_MAIN.
set(root "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")

# put(UNITS... TO folder): with the paths of the programs as they are installed.
function(put folder)
  file(MAKE_DIRECTORY "${root}/${folder}")
  foreach(unit ${ARGN})
    file(READ "${CV_SOURCE}/systemd/${unit}" text)
    string(REPLACE "/usr/bin/certvault" "${CMAKE_INSTALL_PREFIX}/bin/certvault"
           text "${text}")
    string(REPLACE "/usr/libexec/certvault"
           "${CMAKE_INSTALL_PREFIX}/libexec/certvault" text "${text}")
    file(WRITE "${root}/${folder}/${unit}" "${text}")
    file(CHMOD "${root}/${folder}/${unit}" PERMISSIONS OWNER_READ OWNER_WRITE
         GROUP_READ WORLD_READ)
    message(STATUS "Installing: ${root}/${folder}/${unit}")
  endforeach()
endfunction()

file(GLOB units RELATIVE "${CV_SOURCE}/systemd" "${CV_SOURCE}/systemd/*.service"
     "${CV_SOURCE}/systemd/*.socket")
set(user ${units})
list(FILTER user INCLUDE REGEX "^certvault-agent\\.")
list(FILTER units EXCLUDE REGEX "^certvault-agent\\.")
put(lib/systemd/system ${units})
put(lib/systemd/user ${user})

# kubectl finds its plugins by this name.
file(CREATE_LINK certvault "${root}/bin/kubectl-certvault" SYMBOLIC)

function(complete shell folder leaf)
  execute_process(COMMAND "${CV_MAIN}" completion ${shell}
                  OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
  file(MAKE_DIRECTORY "${root}/${folder}")
  file(WRITE "${root}/${folder}/${leaf}" "${text}")
  message(STATUS "Installing: ${root}/${folder}/${leaf}")
endfunction()

complete(bash share/bash-completion/completions certvault)
complete(zsh share/zsh/site-functions _certvault)
complete(fish share/fish/vendor_completions.d certvault.fish)
