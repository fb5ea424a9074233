foreach(name IN ITEMS hostile identity key responses server_url strip)
  cv_unit(kubeconfig_${name}_test SOURCES kubeconfig_${name}_test.c
          LINK kubeconfig yaml base)
endforeach()
