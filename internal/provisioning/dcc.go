package provisioning

// maxDCC is the largest Digital Calibration Certificate, in bytes.
const maxDCC = 2 << 20
