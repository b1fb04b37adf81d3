# Sends one message with smtplib: send.py starttls|implicit PORT CAFILE
import smtplib
import ssl
import sys

mode, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
if mode == "implicit":
    s = smtplib.SMTP_SSL("127.0.0.1", port, "python.example.com", context=context)
else:
    s = smtplib.SMTP("127.0.0.1", port, "python.example.com")
    s.starttls(context=context)
s.ehlo()
try:
    s.login("user", "wrong")
    sys.exit("a wrong password was taken")
except smtplib.SMTPAuthenticationError as e:
    assert e.smtp_code == 535, e
s.login("user", "pass word")
assert s.verify("a@example.com")[0] == 252
message = "Subject: caf\u00e9\r\n\r\n.dot\r\n..\r\nend \u20ac\r\n".encode()
options = ["BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=py+2B1"]
refused = s.sendmail("a@example.com", ["b@example.com", "reject@example.com"], message, options,
                     ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;orig@example.com"])
assert refused == {"reject@example.com": (550, b"5.1.1 no such user")}, refused
s.quit()
