curl -X GET "https://app.audos.com/api/mailgun/messages/79849043-88b5-40ba-a93a-c1e088c4d9b0?limit=50&offset=0" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN"
