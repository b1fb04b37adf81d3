// Takes mail for anyone from the loopback and sends it all to one address, as
// a relay behind an application does.
'use strict'

exports.register = function () {
  const [host, port] = this.config.get('rig.relay').split(' ')
  this.route = { exchange: host, port: Number(port), priority: 0 }
}

exports.hook_connect = (next, connection) => {
  connection.relaying = true
  next()
}

exports.hook_rcpt = (next) => next(OK)

exports.hook_get_mx = function (next) {
  next(OK, this.route)
}
