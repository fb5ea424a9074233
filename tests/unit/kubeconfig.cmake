foreach(name IN ITEMS hostile key responses server_url)
  cv_unit(kubeconfig_${name}_test SOURCES kubeconfig_${name}_test.c
          LINK kubeconfig yaml base)
endforeach()
