/* The methods of io.certvault.Module: what the token process does with a
 * PKCS#11 module on the broker's order. They read the parameters strictly and
 * hand them to pkcs11/. */
#ifndef CERTVAULT_CLI_MODULE_METHODS_H
#define CERTVAULT_CLI_MODULE_METHODS_H

#include "vault/wire/serve.h"

/* The interface's table. The context of its methods is a struct
 * cv_module_face. */
extern const struct cv_interface cv_module_methods;

/* Serves the socket CV_PROCESS_SOCKET until it closes. Blocks. */
CV_MUST_USE enum cv_status cv_module_methods_serve(struct cv_err *err);

#endif
