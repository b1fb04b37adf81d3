curl -X GET "https://app.audos.com/api/mailgun/messages/79849043-88b5-40ba-a93a-c1e088c4d9b0?startDate=2025-12-01T00:00:00Z&endDate=2025-12-31T23:59:59Z" \
  -H "Authorization: Bearer YOUR_JWT_TOKEN"
