/* The interfaces' .varlink texts, as org.varlink.service serves them. */
#ifndef CERTVAULT_WIRE_INTERFACE_H
#define CERTVAULT_WIRE_INTERFACE_H

#define CV_INTERFACE_BROKER "io.certvault.Broker"
#define CV_INTERFACE_TOKEN "io.certvault.Token"
#define CV_INTERFACE_MODULE "io.certvault.Module"
#define CV_INTERFACE_INTAKE "io.certvault.Intake"
#define CV_INTERFACE_OFFLINE "io.certvault.Offline"
#define CV_INTERFACE_RELAY "io.certvault.Relay"
#define CV_INTERFACE_DOOR "io.certvault.Door"

/* Built from the files beside this one. */
extern const char cv_interface_broker[];
extern const char cv_interface_token[];
extern const char cv_interface_module[];
extern const char cv_interface_intake[];
extern const char cv_interface_offline[];
extern const char cv_interface_relay[];
extern const char cv_interface_door[];

#endif
