package optout

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// words are the texts of the page in one language. They name nothing: what they
// are about stands in a list below them, so that no language has to inflect it.
type words struct {
	Tag string // BCP 47

	Ask                 string // title of the question
	Domain, Topic, List string // what comes of it, and has come of it
	Unsubscribe         string // button
	Keep                string // what to do if not

	AddressName, SenderName, TopicsName, ListName string

	Done, Underway string
	Mistake, Again string // Again is a button
	Back, BackText string // subscribed again

	Bad, BadText   string // the link is not valid
	Fail, FailText string // the answer is not known
}

// RTL reports whether the language is written from right to left.
func (w *words) RTL() bool { return w.Tag == "ar" }

// languages has English first: it is for whoever reads none of them.
var languages = [...]words{
	{
		Tag: "en", Ask: "Unsubscribe?",
		Domain:      "You will no longer get any mail from this sender.",
		Topic:       "You will no longer get mail on these topics from this sender.",
		List:        "You will no longer get mail from this mailing list.",
		Unsubscribe: "Unsubscribe", Keep: "To stay subscribed, just close this page.",
		AddressName: "Address", SenderName: "Sender", TopicsName: "Topics", ListName: "Mailing list",
		Done: "You are unsubscribed", Underway: "Messages already on their way may still arrive.",
		Mistake: "Unsubscribed by mistake?", Again: "Subscribe again",
		Back: "You are subscribed again", BackText: "Mail will be sent to this address again.",
		Bad: "This link does not work", BadText: "It may be incomplete or no longer valid. Open it from the message again, or write to the sender.",
		Fail: "Something went wrong", FailText: "Please try again in a few minutes.",
	},
	{
		Tag: "de", Ask: "Abmelden?",
		Domain:      "Sie erhalten von diesem Absender keine E‑Mails mehr.",
		Topic:       "Sie erhalten von diesem Absender keine E‑Mails mehr zu diesen Themen.",
		List:        "Sie erhalten keine E‑Mails mehr über diese Mailingliste.",
		Unsubscribe: "Abmelden", Keep: "Wenn Sie angemeldet bleiben möchten, schließen Sie einfach diese Seite.",
		AddressName: "Adresse", SenderName: "Absender", TopicsName: "Themen", ListName: "Mailingliste",
		Done: "Sie sind abgemeldet", Underway: "Nachrichten, die schon unterwegs sind, können noch ankommen.",
		Mistake: "Versehentlich abgemeldet?", Again: "Wieder anmelden",
		Back: "Sie sind wieder angemeldet", BackText: "An diese Adresse werden wieder E‑Mails gesendet.",
		Bad: "Dieser Link funktioniert nicht", BadText: "Er ist vielleicht unvollständig oder nicht mehr gültig. Öffnen Sie ihn noch einmal aus der Nachricht heraus oder schreiben Sie dem Absender.",
		Fail: "Etwas ist schiefgegangen", FailText: "Bitte versuchen Sie es in einigen Minuten noch einmal.",
	},
	{
		Tag: "fr", Ask: "Se désabonner\u00a0?",
		Domain:      "Vous ne recevrez plus aucun e-mail de cet expéditeur.",
		Topic:       "Vous ne recevrez plus d’e-mails de cet expéditeur sur ces sujets.",
		List:        "Vous ne recevrez plus les e-mails de cette liste de diffusion.",
		Unsubscribe: "Se désabonner", Keep: "Pour conserver votre abonnement, fermez simplement cette page.",
		AddressName: "Adresse", SenderName: "Expéditeur", TopicsName: "Sujets", ListName: "Liste de diffusion",
		Done: "Désabonnement effectué", Underway: "Des messages déjà envoyés peuvent encore vous parvenir.",
		Mistake: "Désabonnement par erreur\u00a0?", Again: "Se réabonner",
		Back: "Abonnement rétabli", BackText: "Des e-mails seront de nouveau envoyés à cette adresse.",
		Bad: "Ce lien ne fonctionne pas", BadText: "Il est peut-être incomplet ou n’est plus valable. Ouvrez-le de nouveau depuis le message ou écrivez à l’expéditeur.",
		Fail: "Une erreur s’est produite", FailText: "Veuillez réessayer dans quelques minutes.",
	},
	{
		Tag: "es", Ask: "¿Darse de baja?",
		Domain:      "No recibirá más correos de este remitente.",
		Topic:       "No recibirá más correos de este remitente sobre estos temas.",
		List:        "No recibirá más correos de esta lista.",
		Unsubscribe: "Darse de baja", Keep: "Para mantener la suscripción, cierre esta página.",
		AddressName: "Dirección", SenderName: "Remitente", TopicsName: "Temas", ListName: "Lista de correo",
		Done: "Baja confirmada", Underway: "Es posible que aún lleguen mensajes que ya estaban en camino.",
		Mistake: "¿Ha sido un error?", Again: "Volver a suscribirse",
		Back: "Suscripción restablecida", BackText: "Esta dirección volverá a recibir correos.",
		Bad: "Este enlace no funciona", BadText: "Puede que esté incompleto o que ya no sea válido. Ábralo de nuevo desde el mensaje o escriba al remitente.",
		Fail: "Algo ha fallado", FailText: "Inténtelo de nuevo en unos minutos.",
	},
	{
		Tag: "it", Ask: "Annullare l’iscrizione?",
		Domain:      "Non riceverai più email da questo mittente.",
		Topic:       "Non riceverai più email su questi argomenti da questo mittente.",
		List:        "Non riceverai più email da questa mailing list.",
		Unsubscribe: "Annulla l’iscrizione", Keep: "Per mantenere l’iscrizione, chiudi questa pagina.",
		AddressName: "Indirizzo", SenderName: "Mittente", TopicsName: "Argomenti", ListName: "Mailing list",
		Done: "Iscrizione annullata", Underway: "Potrebbero ancora arrivare messaggi già inviati.",
		Mistake: "È stato un errore?", Again: "Iscriviti di nuovo",
		Back: "Iscrizione ripristinata", BackText: "Questo indirizzo riceverà di nuovo email.",
		Bad: "Questo link non funziona", BadText: "Potrebbe essere incompleto o non più valido. Aprilo di nuovo dal messaggio oppure scrivi al mittente.",
		Fail: "Qualcosa è andato storto", FailText: "Riprova tra qualche minuto.",
	},
	{
		Tag: "pt", Ask: "Cancelar a inscrição?",
		Domain:      "Não receberá mais e-mails deste remetente.",
		Topic:       "Não receberá mais e-mails deste remetente sobre estes temas.",
		List:        "Não receberá mais e-mails desta lista.",
		Unsubscribe: "Cancelar a inscrição", Keep: "Para manter a inscrição, feche esta página.",
		AddressName: "Endereço", SenderName: "Remetente", TopicsName: "Temas", ListName: "Lista de e-mails",
		Done: "Inscrição cancelada", Underway: "Mensagens já enviadas ainda podem chegar.",
		Mistake: "Foi engano?", Again: "Inscrever-se novamente",
		Back: "Inscrição reativada", BackText: "Este endereço voltará a receber e-mails.",
		Bad: "Este link não funciona", BadText: "Pode estar incompleto ou já não ser válido. Abra-o novamente a partir da mensagem ou escreva ao remetente.",
		Fail: "Ocorreu um erro", FailText: "Tente novamente em alguns minutos.",
	},
	{
		Tag: "nl", Ask: "Afmelden?",
		Domain:      "U ontvangt geen e-mail meer van deze afzender.",
		Topic:       "U ontvangt van deze afzender geen e-mail meer over deze onderwerpen.",
		List:        "U ontvangt geen e-mail meer van deze mailinglijst.",
		Unsubscribe: "Afmelden", Keep: "Wilt u aangemeld blijven? Sluit dan gewoon deze pagina.",
		AddressName: "Adres", SenderName: "Afzender", TopicsName: "Onderwerpen", ListName: "Mailinglijst",
		Done: "U bent afgemeld", Underway: "Berichten die al onderweg zijn, kunnen nog aankomen.",
		Mistake: "Per ongeluk afgemeld?", Again: "Opnieuw aanmelden",
		Back: "U bent weer aangemeld", BackText: "Er wordt weer e-mail naar dit adres gestuurd.",
		Bad: "Deze link werkt niet", BadText: "Misschien is de link onvolledig of niet meer geldig. Open de link opnieuw vanuit het bericht of schrijf naar de afzender.",
		Fail: "Er is iets misgegaan", FailText: "Probeer het over een paar minuten opnieuw.",
	},
	{
		Tag: "pl", Ask: "Zrezygnować z subskrypcji?",
		Domain:      "Nie będziesz już otrzymywać wiadomości od tego nadawcy.",
		Topic:       "Nie będziesz już otrzymywać od tego nadawcy wiadomości na te tematy.",
		List:        "Nie będziesz już otrzymywać wiadomości z tej listy.",
		Unsubscribe: "Zrezygnuj z subskrypcji", Keep: "Aby zachować subskrypcję, po prostu zamknij tę stronę.",
		AddressName: "Adres", SenderName: "Nadawca", TopicsName: "Tematy", ListName: "Lista mailingowa",
		Done: "Subskrypcja anulowana", Underway: "Wiadomości, które są już w drodze, mogą jeszcze dotrzeć.",
		Mistake: "To pomyłka?", Again: "Subskrybuj ponownie",
		Back: "Subskrypcja przywrócona", BackText: "Na ten adres znów będą wysyłane wiadomości.",
		Bad: "Ten link nie działa", BadText: "Może być niepełny lub już nieważny. Otwórz go ponownie z wiadomości albo napisz do nadawcy.",
		Fail: "Coś poszło nie tak", FailText: "Spróbuj ponownie za kilka minut.",
	},
	{
		Tag: "sv", Ask: "Avsluta prenumerationen?",
		Domain:      "Du får inga fler mejl från den här avsändaren.",
		Topic:       "Du får inga fler mejl om de här ämnena från den här avsändaren.",
		List:        "Du får inga fler mejl från den här e-postlistan.",
		Unsubscribe: "Avsluta prenumerationen", Keep: "Vill du vara kvar? Stäng bara sidan.",
		AddressName: "Adress", SenderName: "Avsändare", TopicsName: "Ämnen", ListName: "E-postlista",
		Done: "Prenumerationen är avslutad", Underway: "Meddelanden som redan är på väg kan fortfarande komma fram.",
		Mistake: "Blev det fel?", Again: "Prenumerera igen",
		Back: "Du prenumererar igen", BackText: "Mejl skickas till den här adressen igen.",
		Bad: "Länken fungerar inte", BadText: "Den kan vara ofullständig eller inte längre giltig. Öppna den igen från meddelandet eller skriv till avsändaren.",
		Fail: "Något gick fel", FailText: "Försök igen om några minuter.",
	},
	{
		Tag: "da", Ask: "Vil du afmelde?",
		Domain:      "Du får ikke flere mails fra denne afsender.",
		Topic:       "Du får ikke flere mails om disse emner fra denne afsender.",
		List:        "Du får ikke flere mails fra denne mailingliste.",
		Unsubscribe: "Afmeld", Keep: "Vil du fortsat modtage mails? Så luk blot siden.",
		AddressName: "Adresse", SenderName: "Afsender", TopicsName: "Emner", ListName: "Mailingliste",
		Done: "Du er afmeldt", Underway: "Beskeder, der allerede er på vej, kan stadig nå frem.",
		Mistake: "Var det en fejl?", Again: "Tilmeld igen",
		Back: "Du er tilmeldt igen", BackText: "Der sendes igen mails til denne adresse.",
		Bad: "Linket virker ikke", BadText: "Det er måske ufuldstændigt eller ikke længere gyldigt. Åbn det igen fra beskeden, eller skriv til afsenderen.",
		Fail: "Noget gik galt", FailText: "Prøv igen om et par minutter.",
	},
	{
		Tag: "ja", Ask: "配信を停止しますか？",
		Domain:      "この送信者からのメールは届かなくなります。",
		Topic:       "この送信者からの、以下のトピックに関するメールは届かなくなります。",
		List:        "このメーリングリストからのメールは届かなくなります。",
		Unsubscribe: "配信を停止する", Keep: "配信を続ける場合は、このページを閉じてください。",
		AddressName: "メールアドレス", SenderName: "送信者", TopicsName: "トピック", ListName: "メーリングリスト",
		Done: "配信を停止しました", Underway: "送信済みのメールが届く場合があります。",
		Mistake: "間違えて停止しましたか？", Again: "配信を再開する",
		Back: "配信を再開しました", BackText: "このアドレスにメールが再び届くようになります。",
		Bad: "このリンクは使用できません", BadText: "リンクが不完全か、無効になっている可能性があります。メールからもう一度開くか、送信者にお問い合わせください。",
		Fail: "エラーが発生しました", FailText: "数分後にもう一度お試しください。",
	},
	{
		Tag: "zh-Hans", Ask: "要退订吗？",
		Domain:      "您将不再收到此发件人的邮件。",
		Topic:       "您将不再收到此发件人关于以下主题的邮件。",
		List:        "您将不再收到此邮件列表的邮件。",
		Unsubscribe: "退订", Keep: "如需保留订阅，关闭此页面即可。",
		AddressName: "邮箱地址", SenderName: "发件人", TopicsName: "主题", ListName: "邮件列表",
		Done: "您已退订", Underway: "已发出的邮件仍可能送达。",
		Mistake: "误操作？", Again: "重新订阅",
		Back: "您已重新订阅", BackText: "此地址将再次收到邮件。",
		Bad: "此链接无效", BadText: "链接可能不完整或已失效。请从邮件中重新打开，或联系发件人。",
		Fail: "出错了", FailText: "请几分钟后重试。",
	},
	{
		Tag: "zh-Hant", Ask: "要取消訂閱嗎？",
		Domain:      "您將不再收到此寄件者的郵件。",
		Topic:       "您將不再收到此寄件者關於以下主題的郵件。",
		List:        "您將不再收到此郵寄清單的郵件。",
		Unsubscribe: "取消訂閱", Keep: "如要保留訂閱，關閉此頁面即可。",
		AddressName: "電子郵件地址", SenderName: "寄件者", TopicsName: "主題", ListName: "郵寄清單",
		Done: "您已取消訂閱", Underway: "已寄出的郵件仍可能送達。",
		Mistake: "按錯了嗎？", Again: "重新訂閱",
		Back: "您已重新訂閱", BackText: "此地址將再次收到郵件。",
		Bad: "此連結無效", BadText: "連結可能不完整或已失效。請從郵件中重新開啟，或聯絡寄件者。",
		Fail: "發生錯誤", FailText: "請幾分鐘後再試一次。",
	},
	{
		Tag: "ar", Ask: "إلغاء الاشتراك؟",
		Domain:      "لن تصلك أي رسائل أخرى من هذا المرسل.",
		Topic:       "لن تصلك رسائل أخرى من هذا المرسل حول هذه المواضيع.",
		List:        "لن تصلك رسائل أخرى من هذه القائمة البريدية.",
		Unsubscribe: "إلغاء الاشتراك", Keep: "للإبقاء على الاشتراك، ما عليك سوى إغلاق هذه الصفحة.",
		AddressName: "العنوان", SenderName: "المرسل", TopicsName: "المواضيع", ListName: "القائمة البريدية",
		Done: "تم إلغاء الاشتراك", Underway: "قد تصلك رسائل سبق إرسالها.",
		Mistake: "هل حدث ذلك بالخطأ؟", Again: "إعادة الاشتراك",
		Back: "تمت إعادة الاشتراك", BackText: "ستصل الرسائل إلى هذا العنوان من جديد.",
		Bad: "هذا الرابط لا يعمل", BadText: "قد يكون الرابط ناقصًا أو لم يعد صالحًا. افتحه مرة أخرى من الرسالة أو راسل المرسل.",
		Fail: "حدث خطأ ما", FailText: "يُرجى المحاولة مرة أخرى بعد بضع دقائق.",
	},
	{
		Tag: "ru", Ask: "Отписаться?",
		Domain:      "Вы больше не будете получать письма от этого отправителя.",
		Topic:       "Вы больше не будете получать от этого отправителя письма на эти темы.",
		List:        "Вы больше не будете получать письма из этой рассылки.",
		Unsubscribe: "Отписаться", Keep: "Чтобы сохранить подписку, просто закройте эту страницу.",
		AddressName: "Адрес", SenderName: "Отправитель", TopicsName: "Темы", ListName: "Список рассылки",
		Done: "Подписка отменена", Underway: "Уже отправленные письма ещё могут прийти.",
		Mistake: "Отписались по ошибке?", Again: "Подписаться снова",
		Back: "Подписка возобновлена", BackText: "На этот адрес снова будут приходить письма.",
		Bad: "Эта ссылка не работает", BadText: "Возможно, она неполная или больше не действует. Откройте её ещё раз из письма или напишите отправителю.",
		Fail: "Что-то пошло не так", FailText: "Попробуйте ещё раз через несколько минут.",
	},
	{
		Tag: "uk", Ask: "Відписатися?",
		Domain:      "Ви більше не отримуватимете листів від цього відправника.",
		Topic:       "Ви більше не отримуватимете від цього відправника листів на ці теми.",
		List:        "Ви більше не отримуватимете листів із цієї розсилки.",
		Unsubscribe: "Відписатися", Keep: "Щоб зберегти підписку, просто закрийте цю сторінку.",
		AddressName: "Адреса", SenderName: "Відправник", TopicsName: "Теми", ListName: "Список розсилки",
		Done: "Підписку скасовано", Underway: "Листи, які вже надіслано, ще можуть надійти.",
		Mistake: "Відписалися помилково?", Again: "Підписатися знову",
		Back: "Підписку поновлено", BackText: "На цю адресу знову надходитимуть листи.",
		Bad: "Це посилання не працює", BadText: "Можливо, воно неповне або вже недійсне. Відкрийте його ще раз із листа або напишіть відправнику.",
		Fail: "Щось пішло не так", FailText: "Спробуйте ще раз за кілька хвилин.",
	},
	{
		Tag: "tr", Ask: "Abonelikten çıkılsın mı?",
		Domain:      "Bu gönderenden artık e-posta almayacaksınız.",
		Topic:       "Bu gönderenden bu konularda artık e-posta almayacaksınız.",
		List:        "Bu posta listesinden artık e-posta almayacaksınız.",
		Unsubscribe: "Abonelikten çık", Keep: "Abone kalmak için bu sayfayı kapatmanız yeterlidir.",
		AddressName: "Adres", SenderName: "Gönderen", TopicsName: "Konular", ListName: "Posta listesi",
		Done: "Abonelikten çıktınız", Underway: "Daha önce gönderilmiş iletiler yine de ulaşabilir.",
		Mistake: "Yanlışlıkla mı oldu?", Again: "Yeniden abone ol",
		Back: "Yeniden abone oldunuz", BackText: "Bu adrese yeniden e-posta gönderilecek.",
		Bad: "Bu bağlantı çalışmıyor", BadText: "Eksik olabilir ya da artık geçerli olmayabilir. Bağlantıyı iletiden yeniden açın veya gönderene yazın.",
		Fail: "Bir sorun oluştu", FailText: "Lütfen birkaç dakika sonra yeniden deneyin.",
	},
	{
		Tag: "cs", Ask: "Odhlásit odběr?",
		Domain:      "Od tohoto odesílatele už nebudete dostávat žádné e-maily.",
		Topic:       "Od tohoto odesílatele už nebudete dostávat e-maily na tato témata.",
		List:        "Z tohoto e-mailového seznamu už nebudete dostávat zprávy.",
		Unsubscribe: "Odhlásit odběr", Keep: "Chcete-li odběr zachovat, stačí zavřít tuto stránku.",
		AddressName: "Adresa", SenderName: "Odesílatel", TopicsName: "Témata", ListName: "E-mailový seznam",
		Done: "Odběr byl odhlášen", Underway: "Zprávy, které jsou už na cestě, ještě mohou dorazit.",
		Mistake: "Stalo se to omylem?", Again: "Znovu přihlásit odběr",
		Back: "Odběr byl obnoven", BackText: "Na tuto adresu budou e-maily opět chodit.",
		Bad: "Tento odkaz nefunguje", BadText: "Možná je neúplný nebo už neplatí. Otevřete ho znovu ze zprávy nebo napište odesílateli.",
		Fail: "Něco se nepovedlo", FailText: "Zkuste to znovu za několik minut.",
	},
}

var matcher = language.NewMatcher(tags())

func tags() []language.Tag {
	out := make([]language.Tag, len(languages))
	for i := range languages {
		out[i] = language.Make(languages[i].Tag)
	}
	return out
}

// maxAccept bounds what is read of Accept-Language; browsers send less than 100
// bytes.
const maxAccept = 400

// choose returns the texts for an Accept-Language (RFC 9110 section 12.5.4).
func choose(accept string) *words {
	if len(accept) > maxAccept {
		accept = accept[:strings.LastIndexByte(accept[:maxAccept], ',')+1]
	}
	_, i, confidence := matcher.Match(wanted(accept)...)
	if confidence == language.No {
		i = 0
	}
	return &languages[i]
}

// wanted returns the languages of an Accept-Language, the most wanted first. One
// that cannot be read does not hide the others.
func wanted(accept string) []language.Tag {
	type weighted struct {
		tag language.Tag
		q   float32
	}
	var list []weighted
	for part := range strings.SplitSeq(accept, ",") {
		tags, q, err := language.ParseAcceptLanguage(part)
		for i := range tags {
			if err == nil && q[i] > 0 {
				list = append(list, weighted{tags[i], q[i]})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b weighted) int { return cmp.Compare(b.q, a.q) })
	out := make([]language.Tag, len(list))
	for i := range list {
		out[i] = list[i].tag
	}
	return out
}
