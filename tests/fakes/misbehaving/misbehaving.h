/*
 * A PKCS#11 v2.40 module that keeps keys, signs with them, and lies and
 * breaks as it is told.
 *
 * misbehaving.so has one slot with one token. The environment variable
 * CV_MISBEHAVING names its control file; without it there is no token. The
 * file's folder is the token: what survives a process lies there, so that
 * several processes share one token and one PIN counter.
 *
 *     control        the switches below; read again at every call, so that a
 *                    test can pull the card of a process that runs
 *     pin, so-pin    the PINs
 *     tries          what is left of them, one digit
 *     logins.log     a line for every C_Login that reached the token:
 *                    pid, user type, outcome, tries left. Synced before the
 *                    answer, and before a login that dies
 *     calls.log      a line for every call: pid, number in this process, name
 *                    (only with calls=1)
 *     objects/       a file an object, named by its handle
 *     fired-LINE     a `once` fault has fired
 *
 * The control file is lines of key=value; blank lines and # are passed over.
 * A key that is not known ends the process (a misspelt fault tests nothing).
 *
 *   the token
 *     label=TEXT (rig) manufacturer=TEXT (certvault tests) model=TEXT
 *     (misbehaving) serial=TEXT (0001)
 *     present=1|0          0: pulled. Who was in a session gets
 *                          CKR_DEVICE_REMOVED once, then
 *                          CKR_SESSION_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT
 *     tries=N (3)          what a right PIN sets the counter to
 *     pin-pad=1            CKF_PROTECTED_AUTHENTICATION_PATH: C_Login without
 *                          a PIN takes what the file pad holds
 *     login-required=0     without CKF_LOGIN_REQUIRED: all is done for anybody
 *     flags=honest|zero|low|final|locked       what C_GetTokenInfo says of
 *                          the PIN, whatever is true
 *     login=honest|die-counted|wrong           die-counted: the try is taken
 *                          off, then the process is killed. wrong: the right
 *                          PIN counts as a wrong one
 *     always-authenticate=1    keys made from now on want a context-specific
 *                          login for each signature
 *     import=1|0 generate=1|0 unwrap=1|0       0: CKR_FUNCTION_NOT_SUPPORTED
 *     capacity=N (1000)    more objects are CKR_DEVICE_MEMORY
 *
 *   lies
 *     create=honest|nothing|half   CKR_OK and no object; an object without
 *                          label and id (C_CreateObject, C_UnwrapKey,
 *                          C_GenerateKeyPair, C_CopyObject)
 *     extractable=honest|0|1   what is read back, whatever was asked for
 *     value=honest|readable    a sensitive value is given out
 *     wrap=honest|leaks copy=honest|leaks      as if EXTRACTABLE were true
 *     set=honest|leaks|says    C_SetAttributeValue of what cannot be changed:
 *                          refused | done | CKR_OK and nothing done
 *     leak=HOLE[,HOLE...]  one way out each, by the names that `token probe`
 *                          gives its attacks, or all: read-secret read-primes
 *                          wrap-cbc-pad wrap-key-wrap wrap-key-wrap-pad
 *                          wrap-kwp wrap-rsa wrap-twin copy-extractable
 *                          copy-plain copy-public set-extractable set-plain
 *                          derive digest decrypt
 *     length=honest|max|grow   of byte strings: 2^64-1; or always one more
 *                          than the caller has room for
 *     id=honest|huge       CKA_ID is read as 10,240 bytes
 *     handles=honest|stale a private key's handle means another private key
 *                          by the time of C_SignInit
 *     sign=honest|wrong|zero|short|long|empty|der  (der: of an EC signature)
 *     pss=honest|raw|none      what RSA keys sign by: raw, PKCS#1 v1.5 and
 *                          CKM_RSA_X_509; none, PKCS#1 v1.5 alone
 *     random=honest|zero|error
 *     list=honest|null:NAME|null-all|version:N|none|error     the function
 *                          list; `version` its major number; none: CKR_OK
 *                          and a null list. Read at C_GetFunctionList
 *
 *   faults: fault=WHERE ACTION, or once=WHERE ACTION, which fires one time
 *   for all processes. The first that fits counts.
 *     WHERE   N       the Nth call of this process, from 1
 *             N+      that and all later ones
 *             NAME    every call of that function, as C_Sign
 *             NAME#N  the Nth of them in this process; NAME#N+
 *     ACTION  kill    the process kills itself (SIGKILL) before the call did
 *                     anything
 *             kill-after   ... when it has done everything
 *             crash, crash-after   with SIGSEGV
 *             hang    never returns
 *             wait    goes on once the control file has no such fault
 *             rv:0xN  returns that without doing anything
 *             rv-after:0xN    does it, and says that
 *             remove  the card is pulled, for this process and for good
 *             sessions    all sessions have been closed
 *             logout  somebody logged the application out
 *
 * What is built beside it: no_list.so, which has no C_GetFunctionList;
 * options.so, any other module with options for C_Initialize.
 */
#ifndef CERTVAULT_TESTS_FAKES_MISBEHAVING_H
#define CERTVAULT_TESTS_FAKES_MISBEHAVING_H

#define MISBEHAVING_CONTROL "CV_MISBEHAVING"
#define MISBEHAVING_MAX_CALLS 100000

#endif
