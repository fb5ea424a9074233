foreach(name IN ITEMS kubeconfig pem)
  cv_fuzz(${name} SOURCES ${name}_fuzz.c LINK kubeconfig yaml base)
endforeach()
